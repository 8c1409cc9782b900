"""What a model does as steps over named rows: data that runs, and that forecasts are read off."""
