"""Terminal input and output: time in words, pages of help, signals. No TensorFlow."""
