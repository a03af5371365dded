"""Azure Automation: accounts, worker groups, workers."""
