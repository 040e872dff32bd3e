import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "../base.css";
import "./docs.css";

const reference = document.querySelector("#reference") as HTMLElement;

SwaggerUI({
  url: "/openapi.json",
  domNode: reference,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 3,
  displayRequestDuration: true,
  filter: true,
  validatorUrl: null,
  onComplete: () => reference.removeAttribute("aria-busy"),
});
