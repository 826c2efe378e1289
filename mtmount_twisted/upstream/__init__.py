"""What faces the mount: `link`, the connection pair to the controller."""
