"""How often an open page looks for news, and which of its parts are drawn again."""
