"""The guides as a static, searchable site: `make docs` writes it to build/site. Nothing is loaded from outside."""
