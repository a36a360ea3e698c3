"""The place of publishing to the Hugging Face Hub and downloading from it; nothing is here yet."""
