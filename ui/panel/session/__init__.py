"""What outlives a session of Streamlit, which ends with its page: who is logged in, what they are still at work on."""
