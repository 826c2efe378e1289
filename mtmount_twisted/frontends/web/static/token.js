// Asks the user for the token when the daemon requires one.
//
// It touches its own panel and, by api.js, sessionStorage.

import { dropToken, hasToken, keepToken } from "./api.js";
import { byId, show, write } from "./dom.js";

// onToken is called with a token to try. Return the function that asks for one.
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
    write(byId("token-why"), tried ? `The token was rejected: ${error.message}.` : "This daemon requires a token.");
    if (panel.hidden) {
      show(panel, true);
      if (document.activeElement === document.body) input.focus(); // otherwise the user's typing would go there
    }
  };
}
