"""What runs, tasks and everything around them look like to programs, and in words: shared by the API and the command line.
No Litestar here."""
