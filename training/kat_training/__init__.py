"""The recipe that teaches a model to judge: data, labels, rewards and evaluation."""
