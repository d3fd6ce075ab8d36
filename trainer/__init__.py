"""Records become a fine-tuned model."""
