"""What people at a terminal see and do: time in words, pages of help, signals. No TensorFlow."""
