"""Training of the embedded model: scenes, samples, the training program, evaluation."""
