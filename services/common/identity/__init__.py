"""Who calls and what that caller may do: principals, permissions, tokens, and the interceptor that asks for them."""
