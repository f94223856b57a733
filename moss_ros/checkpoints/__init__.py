"""Where the checkpoint that ships with the package lies; knows no file formats."""

from pathlib import Path

# A folder with config.json, tokenizer.json and model.safetensors.
DEMO_CHECKPOINT: Path = Path(__file__).parent / 'demo'
