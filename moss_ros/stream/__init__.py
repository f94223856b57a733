"""One live stream: frames and prompts in, narration events out."""
