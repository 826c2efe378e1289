// Starts the page: the store, the follower that keeps it up to date, and the page's parts.
//
// It touches the one timer of the clocks on the page.

import { onDoubt } from "./api.js";
import { Commands } from "./commands.js";
import { Follower } from "./follow.js";
import { pressOnce } from "./keys.js";
import { assemble } from "./page.js";
import { Shown } from "./shown.js";
import { Store } from "./store.js";
import { tokenForm } from "./token.js";

const store = new Store();
const shown = new Shown(store);
const commands = new Commands(store);
const askForToken = tokenForm(() => follower.start());
const follower = new Follower(store, (error) => {
  follower.stop("a token is needed");
  askForToken(error);
});

onDoubt(() => follower.doubt());

pressOnce();
const load = assemble({ store, shown, commands, hurry: () => follower.hurry(), refresh: () => follower.refresh() });

store.on("live", () => store.live.is && load());
setInterval(() => store.live.is && store.tell("tick"), 1000); // the clocks stand still on a page that is not live
addEventListener("online", () => follower.hurry());
document.addEventListener("visibilitychange", () => document.hidden || follower.hurry());
follower.start();
