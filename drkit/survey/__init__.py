"""What is read of Azure: a file per source, each returning readings; snapshot and assessment are made of them."""
