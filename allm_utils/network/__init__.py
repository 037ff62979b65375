"""Network: the recipe that makes training pictures, the models, saving and training them.

`recipe`, `models`, `saving`, `training`."""
