"""`jaxaction data COMMAND`: preparing, checking and looking at data sets."""
