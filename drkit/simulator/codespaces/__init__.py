"""Visual Studio Codespaces: plans, environments, and the service itself."""
