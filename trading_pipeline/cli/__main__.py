"""python -m trading_pipeline.cli: the same as trading-pipeline."""

from trading_pipeline.cli import main

if __name__ == "__main__":
    main()
