"use strict";

// The description comes from this server, and nothing is asked of any other.
SwaggerUIBundle({
  url: "schema/openapi.json",
  dom_id: "#api",
  validatorUrl: null,
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
});
