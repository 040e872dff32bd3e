/** A schema of OpenAPI 3.0, as far as our document uses them. */
export interface JsonSchema {
  $ref?: string;
  type?: "string" | "number" | "integer" | "boolean" | "object" | "array";
  nullable?: boolean;
  enum?: unknown[];
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  minItems?: number;
  maxItems?: number;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  oneOf?: JsonSchema[];
  anyOf?: JsonSchema[];
  allOf?: JsonSchema[];
  default?: unknown;
  example?: unknown;
  description?: string;
}

/** A body of an operation or an answer. */
export type MediaTypes = Record<string, { schema: JsonSchema; example?: unknown; examples?: Record<string, { value: unknown }> }>;

/** Something that an operation takes beside its body. */
export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  schema: JsonSchema;
  description?: string;
  example?: unknown;
}

/** An answer of an operation, or where it stands. */
export type ApiResponse = { $ref: string } | { description: string; content?: MediaTypes; headers?: Record<string, unknown> };

/** What can be done at a path by a method. */
export interface ApiOperation {
  operationId: string;
  tags: string[];
  summary: string;
  description: string;
  security: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: MediaTypes };
  responses: Record<string, ApiResponse>;
  "x-required-scope"?: string;
}

/** An OpenAPI document, as far as ours goes. */
export interface OpenApiObject {
  openapi: "3.0.3";
  info: { title: string; version: string; description: string };
  servers: { url: string }[];
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, ApiOperation>>;
  components: {
    schemas: Record<string, JsonSchema>;
    responses: Record<string, Exclude<ApiResponse, { $ref: string }>>;
    [part: string]: Record<string, unknown>;
  };
}
