"""Cases in which every two features meet, and what is checked of each."""
