"""An agent of Azure Pipelines, as far as the committed pipeline asks for one, and checks of what is committed."""
