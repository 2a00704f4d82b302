"""What the command does: a verb a file, each a function of the verb's name. None imports TensorFlow on loading."""
