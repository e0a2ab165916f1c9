"""The control panel: Streamlit pages over the same typed client as the command. `python -m ui.panel` serves it."""
