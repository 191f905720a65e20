"""What the recipes share: one self-contained HTML page, and charts that suit light and dark. Needs jinja2, matplotlib."""
