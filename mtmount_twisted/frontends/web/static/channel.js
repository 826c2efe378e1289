// Finds the hub that reads for this tab: in a SharedWorker, in a worker of this tab's own, or in this page.
//
// It touches no network and no page. A way is usable once its hub has sent "hello".

// Change the number with the messages between hub and tabs: the hub of an older page may still run.
const PROTOCOL = 3;
const PATIENCE = 5000; // ms

const url = () => new URL("./worker.js", import.meta.url);
const options = { type: "module", name: `mtmount events ${PROTOCOL}` };

function sharedWorker(fail) {
  const worker = new SharedWorker(url(), options);
  worker.onerror = fail;
  return worker.port;
}

function ownWorker(fail) {
  const worker = new Worker(url(), options);
  worker.onerror = fail;
  return worker;
}

async function inPage() {
  const { Hub } = await import("./hub.js");
  const { port1, port2 } = new MessageChannel();
  new Hub().attach(port1);
  return port2;
}

// Return the first port that works; messages after the hello go to `take`.
export async function openChannel(take) {
  for (const way of [sharedWorker, ownWorker, inPage]) {
    try {
      return await tryWay(way, take);
    } catch {
      // try the next way: a browser may lack or forbid this one
    }
  }
  throw new Error("this browser has no worker in which the page can read events");
}

function tryWay(way, take) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer")), PATIENCE);
    let open = false;
    const fail = (event) => {
      if (open) return;
      event.preventDefault(); // this is not an error of the page
      clearTimeout(timer);
      reject(new Error("it can't be started"));
    };
    Promise.resolve(way(fail)).then((port) => {
      port.onmessage = ({ data }) => {
        clearTimeout(timer);
        open = true;
        port.onmessage = ({ data }) => take(data);
        resolve(port);
      };
    }, reject);
  });
}
