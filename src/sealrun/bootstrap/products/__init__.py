"""What is made from one registry, or put into it by name: artifacts, content, derived outputs, views, exports."""
