"""What faces people and programs: `tcp`, the ports and pairs of commanders; `web`, the page and the API."""
