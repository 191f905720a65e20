"""What the recipes share: a self-contained HTML page, and charts that suit light and dark."""
