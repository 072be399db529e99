"""Opening the systems that pipelines.yaml names, for the services and the command line alike."""
