"""Ship: a trained model on a phone, in a browser or on a server, and on any folder of images.

`export`, `inference`."""
