declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  interface SwaggerUiOptions {
    url: string;
    domNode: Element;
    deepLinking?: boolean;
    docExpansion?: "list" | "full" | "none";
    defaultModelsExpandDepth?: number;
    defaultModelExpandDepth?: number;
    defaultModelRendering?: "example" | "model";
    displayRequestDuration?: boolean;
    filter?: boolean;
    /** Who checks the document; null for nobody. */
    validatorUrl?: string | null;
    onComplete?: () => void;
  }
  export default function SwaggerUI(options: SwaggerUiOptions): void;
}
