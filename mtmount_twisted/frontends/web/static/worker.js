// The hub in a worker: a SharedWorker, which all tabs of this origin share, or this tab's own worker.

import { Hub } from "./hub.js";

const hub = new Hub();
if ("onconnect" in self) self.onconnect = ({ ports: [port] }) => hub.attach(port);
else hub.attach(self);
