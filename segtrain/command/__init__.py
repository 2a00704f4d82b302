"""What is typed: taken apart, composed, checked, and answered. Imports no TensorFlow."""
