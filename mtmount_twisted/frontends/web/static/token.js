// Asks for the token when the daemon wants one.
//
// It touches its own panel and, by api.js, sessionStorage.

import { dropToken, hasToken, keepToken } from "./api.js";
import { byId, show, write } from "./dom.js";

// onToken is called when there is one to try. Gives a function to ask with.
export function tokenForm(onToken) {
  const [panel, input] = [byId("token-panel"), byId("token")];
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (token === "") return;
    keepToken(token);
    input.value = "";
    show(panel, false);
    onToken();
  });
  return (error) => {
    const tried = hasToken();
    if (error.status === 401) dropToken();
    write(byId("token-why"), tried ? `The token was not taken: ${error.message}.` : "This daemon has tokens.");
    if (panel.hidden) {
      show(panel, true);
      if (document.activeElement === document.body) input.focus(); // else what is being typed would go there
    }
  };
}
