"""What leaves for people and for those who measure: mails, webhooks, commands, metrics."""
