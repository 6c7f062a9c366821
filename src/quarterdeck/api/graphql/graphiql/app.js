// GraphiQL with our endpoints: queries and mutations at /graphql, subscriptions as server-sent events at /graphql/stream.
"use strict";

const EXAMPLE = `# Sign in at /ui first, or give a token below, under Headers:
# { "Authorization": "Bearer TOKEN" }
query Nodes {
  nodes(first: 10) {
    totalCount
    nodes { name state services { name status { state reason } } instances { moduleName status { state } } }
    pageInfo { hasNextPage endCursor }
  }
}
`;

function send(path, body, headers) {
  return fetch(path, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

async function* events(response) {
  const decoder = new TextDecoder();
  let text = "";
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const fields = Object.fromEntries(lines.map((line) => line.split(/: ?(.*)/s, 2)));
      if (fields.event === "next") yield JSON.parse(fields.data);
      if (fields.event === "complete") return;
    }
  }
}

async function* follow(body, headers) {
  const response = await send("/graphql/stream", body, headers);
  if (response.ok) yield* events(response);
  else yield await response.json();
}

// The operations of a document: { operation, name }. GraphiQL's own reading of the text is late by a moment, and so are
// the name and the syntax tree that it hands over.
function operationsOf(text) {
  const bare = text.replace(/"""[^]*?"""|"(?:\\.|[^"\\\n])*"|#.*/g, " ");
  let depth = 0;
  const top = [...bare].filter((character) => {
    if ("{([".includes(character)) return depth++ === 0;
    if ("})]".includes(character)) depth--;
    return depth === 0;
  });
  const found = top.join("").matchAll(/(?<![$@\w])(query|mutation|subscription)\b\s*(\w*)/g);
  return [...found].map(([, operation, name]) => ({ operation, name }));
}

async function fetcher(asked, options) {
  const operations = operationsOf(asked.query);
  const chosen = operations.find((each) => each.name === asked.operationName) ?? operations[0];
  const body = { ...asked, operationName: chosen?.name || undefined };
  if (chosen?.operation === "subscription") return follow(body, options?.headers);
  return (await send("/graphql", body, options?.headers)).json();
}

// the package has React 17
ReactDOM.render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultQuery: EXAMPLE,
    defaultEditorToolsVisibility: true,
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
  }),
  document.getElementById("graphiql"),
);
