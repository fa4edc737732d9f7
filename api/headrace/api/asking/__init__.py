"""What is asked of the API about workflows and runs, without a word of HTTP."""
