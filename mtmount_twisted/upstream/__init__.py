"""The side of the bridge that faces the mount: `link` is the connection pair to the controller."""
