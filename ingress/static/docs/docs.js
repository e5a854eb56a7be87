"use strict";
SwaggerUIBundle({
  dom_id: "#docs",
  url: "openapi.json",
  deepLinking: true,
  displayRequestDuration: true,
  // Nothing is sent to a validator elsewhere, and no token outlives the page.
  validatorUrl: null,
  persistAuthorization: false,
});
