"""The pages of the panel; `ui/panel/app.py` lists them."""
