// The operations of openapi.json, as a page.

import { element, table } from "./results.js";

const api = await (await fetch("openapi.json")).json();
const schemas = api.components?.schemas ?? {};

function resolve(schema) {
  return schema?.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema;
}

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.type === "array") return `${typeOf(schema.items) || "value"}, several`;
  return schema.format === "binary" || schema.contentMediaType ? "file" : schema.type ?? "";
}

function fieldsOf(operation) {
  const body = resolve(Object.values(operation.requestBody?.content ?? {})[0]?.schema);
  const required = body?.required ?? [];
  const fields = Object.entries(body?.properties ?? {}).map(([name, schema]) =>
    [name, typeOf(schema), required.includes(name) ? "needed" : `default ${schema.default ?? "none"}`, schema.description ?? ""]);
  const others = (operation.parameters ?? []).map((each) =>
    [each.name, typeOf(each.schema), each.required ? "needed" : `default ${each.schema.default ?? "none"}`, each.description ?? ""]);
  return [...others, ...fields];
}

function example(method, path, operation) {
  const body = resolve(operation.requestBody?.content?.["multipart/form-data"]?.schema);
  const files = (body?.required ?? []).map((name) =>
    typeOf(body.properties[name]).startsWith("file") ? `-F ${name}=@${name}.wav` : `-F ${name}=NAME`);
  const verb = method === "delete" ? "-X DELETE" : "";
  return ["curl", verb, ...files, new URL(`.${path.replace("{name}", "NAME")}`, location.href).href].filter(Boolean).join(" ");
}

function show(path, method, operation) {
  const card = element("section", "", "card operation");
  card.append(element("h2", `${method.toUpperCase()} ${path}`));
  card.append(element("p", operation.description ?? operation.summary ?? ""));
  const fields = fieldsOf(operation);
  const scroll = element("div", "", "scroll");
  if (fields.length) scroll.append(table(["field", "type", "", "meaning"], fields));
  card.append(scroll);
  const line = element("pre");
  line.append(element("code", example(method, path, operation)));
  card.append(line);
  const answers = Object.entries(operation.responses).map(([status, answer]) =>
    [status, answer.description, typeOf(Object.values(answer.content ?? {})[0]?.schema)]);
  const details = document.createElement("details");
  details.append(element("summary", "Answers"), table(["status", "meaning", "schema"], answers));
  card.append(details);
  return card;
}

document.querySelector("#description").textContent = api.info.description;
document.querySelector("#content").append(
  ...Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => show(path, method, operation))));
