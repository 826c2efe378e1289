// Assembles the page: the store, the follower that keeps it up to date, and a view for each panel.
//
// It touches the elements of all parts, and the one timer of the clocks on the page.

import { acks } from "./acks.js";
import { onDoubt } from "./api.js";
import { alarms } from "./alarms.js";
import { Commands } from "./commands.js";
import { facts } from "./facts.js";
import { flights } from "./flights.js";
import { Follower } from "./follow.js";
import { form } from "./form.js";
import { pressOnce } from "./keys.js";
import { lease } from "./lease.js";
import { lives } from "./lives.js";
import { noEvents } from "./noevents.js";
import { sign } from "./sign.js";
import { stop } from "./stop.js";
import { Store } from "./store.js";
import { tail } from "./tail.js";
import { tokenForm } from "./token.js";
import { topbar } from "./topbar.js";

const store = new Store();
const commands = new Commands(store);
const askForToken = tokenForm(() => follower.start());
const follower = new Follower(store, (error) => {
  follower.stop("a token is needed");
  askForToken(error);
});

onDoubt(() => follower.doubt());

pressOnce();
stop(store, commands);
topbar(store, () => follower.hurry());
noEvents(store);
sign(store);
alarms(store);
lease(store, () => follower.refresh());
const { load } = form(store, commands);
lives(store);
flights(store);
facts(store);
acks(store);
tail(store);

store.on("live", () => store.live.is && load());
setInterval(() => store.live.is && store.tell("tick"), 1000); // the clocks stand still on a page that is not live
addEventListener("online", () => follower.hurry());
document.addEventListener("visibilitychange", () => document.hidden || follower.hurry());
follower.start();
