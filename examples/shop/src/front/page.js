// Sends commands, and shows each read model as it reaches the position of the last one.
'use strict';

const WAIT_MS = 15000;
const $ = (id) => document.getElementById(id);
const form = (id) => new FormData($(id));
const customer = () => Number(form('find').get('customer'));

let lines = [];   // What has been put into the cart here: {id, name, price, quantity}.
let order = null; // The last order that was placed here.
let status = null;
let since = null; // The last command: its position, and when it was answered.

// ---- Read models

const MODELS = [
  {
    key: 'order', name: 'Order details', store: 'Redis',
    path: () => order === null ? null : `order-details/${order}`,
    show: (o) => table([], [
      ['order', `${o.id}, ${o.status}`],
      ['customer', `${o.customer.name}, ${o.customer.country}`],
      ...(o.items ?? []).map((i) => [`${i.quantity} ×`, `${i.name}, ${money(i.unit_price)}`]),
      ['shipping and total', money(o.total)],
    ]),
  },
  {
    key: 'cart', name: 'Cart', store: 'Redis',
    path: () => `user-cart/${customer()}`,
    show: (c) => table([], [
      ['customer', c.customer],
      ...c.items.slice(0, 5).map((i) => [`${i.quantity} ×`, `${i.name}, ${money(i.price)}`]),
      ['total', c.total === null ? 'empty' : money(c.total)],
    ]),
  },
  {
    key: 'search', name: 'Product search', store: 'OpenSearch',
    path: () => `product-list?${search(5)}`,
    show: (list) => table(['product', 'category', '#rating', '#price'], list.products.map((p) =>
      [p.name, p.category, p.rating === null ? '–' : p.rating.toFixed(2), money(p.price)])),
  },
  {
    key: 'history', name: 'Order history', store: 'reporting Postgres',
    path: () => `order-history/${customer()}`,
    show: (h) => table(['order', 'status', 'placed'], h.orders.slice(0, 6).map((o) =>
      [o.order_id, o.status, when(o.placed_at)]), (row) => row[0] === order),
  },
  {
    key: 'popularity', name: 'Product popularity', store: 'reporting Postgres',
    path: () => 'product-popularity?limit=6',
    show: (p) => table(['product', '#units', '#revenue'], p.products.map((p) =>
      [p.name, p.units, money(p.revenue)])),
  },
  {
    key: 'dashboard', name: 'Dashboard', store: 'reporting Postgres',
    path: () => 'dashboard-metrics?days=6',
    show: (d) => table(['day', '#orders', '#cancelled', '#units', '#revenue'], d.days.map((d) =>
      [d.day, d.orders, d.cancelled, d.units, money(d.revenue)])),
  },
];

for (const model of MODELS) {
  const node = $('model').content.firstElementChild.cloneNode(true);
  node.id = `model-${model.key}`;
  node.querySelector('.name').textContent = model.name;
  node.querySelector('.store').textContent = model.store;
  model.node = node;
  model.part = (name) => node.querySelector(`.${name}`);
  $('models').append(node);
}

// Reads a model; after a command not before the model has reached it.
async function read(model) {
  const path = model.path();
  const wanted = since;
  if (path === null) {
    model.part('content').replaceChildren(note('No order has been placed here yet.'));
    return;
  }
  let url = `/queries/${path}`;
  if (wanted !== null) {
    url += `${path.includes('?') ? '&' : '?'}min_lsn=${wanted.lsn}&wait_ms=${WAIT_MS}`;
    state(model, 'waiting', 'waiting', `for ${wanted.lsn}`);
  }
  let response, body;
  try {
    response = await fetch(url);
    body = await response.json();
  } catch (error) {
    response = {ok: false, headers: new Headers()};
    body = {detail: 'the query service does not answer'};
  }
  if (wanted !== since) {
    return; // A later command has asked again.
  }
  const position = response.headers.get('shop-position');
  if (position !== null) {
    const ms = performance.now() - wanted.at;
    state(model, 'reached', `${ms.toFixed(0)} ms`, `after the command, at ${position}`);
    model.node.dataset.position = position;
    model.node.dataset.wanted = wanted.lsn;
  } else if (!response.ok && response.status !== 404) {
    state(model, 'failed', 'behind', body.detail);
  } else {
    state(model, '', '–', '');
  }
  model.part('content').replaceChildren(response.ok ? model.show(body) : note(body.detail));
}

function state(model, name, elapsed, position) {
  model.node.className = name;
  model.part('elapsed').textContent = elapsed;
  model.part('position').textContent = position;
}

const readAll = () => Promise.all(MODELS.map(read));

// ---- Commands

async function send(name, body) {
  const start = performance.now();
  let response, answer;
  try {
    response = await fetch(`/commands/${name}`, {
      method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(body),
    });
    answer = await response.json();
  } catch (error) {
    response = {ok: false};
    answer = {title: 'the command service does not answer', detail: ''};
  }
  const out = $('command');
  out.className = response.ok ? '' : 'bad';
  if (!response.ok) {
    const errors = (answer.errors ?? []).map((error) => `${error.field} ${error.problem}`);
    out.textContent = [`${name}: ${answer.title}`, ...(errors.length > 0 ? errors : [answer.detail])].join('\n');
    return null;
  }
  const at = performance.now();
  // Without a position there is nothing to wait for; that is when the connection broke right after the commit.
  since = answer.lsn === null ? null : {lsn: answer.lsn, at};
  out.textContent = `${name} ${answer.id}: committed in ${(at - start).toFixed(0)} ms, at ${answer.lsn}`;
  $('against').textContent = `against ${answer.lsn}`;
  return answer;
}

async function command(name, body, then) {
  const answer = await send(name, body);
  if (answer !== null) {
    then?.(answer);
  }
  buttons();
  await readAll();
  await listProducts();
}

$('place').onclick = () => command('place-order', {customer_id: customer()}, ({id}) => {
  order = id;
  status = 'placed';
  lines = [];
  showLines();
});
$('pay').onclick = () => command('update-order-status', {order_id: order, status: 'paid'}, () => { status = 'paid'; });
$('ship').onclick = () => command('update-order-status', {order_id: order, status: 'shipped'}, () => { status = 'shipped'; });
$('cancel').onclick = () => command('cancel-order', {order_id: order, reason: 'Cancelled on the page.'}, () => { status = 'cancelled'; });
$('rename').onsubmit = (event) => {
  event.preventDefault();
  command('rename-category', {category_id: Number(form('rename').get('category')), name: form('rename').get('name')});
};

function buttons() {
  $('place').disabled = lines.length === 0;
  $('pay').disabled = status !== 'placed';
  $('ship').disabled = status !== 'paid';
  $('cancel').disabled = status !== 'placed' && status !== 'paid';
}

// ---- The list and the order

function search(size) {
  const wanted = form('find');
  return new URLSearchParams({text: wanted.get('text'), sort: wanted.get('sort'), size});
}

async function listProducts() {
  const response = await fetch(`/queries/product-list?${search(8)}`).catch(() => null);
  const list = response?.ok ? await response.json() : {total: 0, products: []};
  $('total').textContent = `${list.total}`;
  $('products').replaceChildren(...list.products.map((product) => {
    const about = text('span', `${product.name} · ${product.category}`);
    about.className = 'about';
    const add = text('button', 'Add');
    add.type = 'button';
    const body = () => ({customer_id: customer(), product_id: product.id, quantity: 1});
    add.onclick = () => command('add-item-to-cart', body(), () => {
      const line = lines.find((line) => line.id === product.id);
      if (line === undefined) {
        lines.push({id: product.id, name: product.name, price: product.price, quantity: 1});
      } else {
        line.quantity += 1;
      }
      showLines();
    });
    return item(about, text('span', money(product.price)), add);
  }));
  if (list.products.length === 0) {
    $('products').replaceChildren(item(note('Nothing found.')));
  }
}

function showLines() {
  $('lines').replaceChildren(...lines.map((line) => {
    const remove = text('button', '×');
    remove.type = 'button';
    remove.ariaLabel = `take ${line.name} out of the cart`;
    remove.onclick = () => command('remove-item-from-cart', {customer_id: customer(), product_id: line.id}, () => {
      lines = lines.filter((other) => other !== line);
      showLines();
    });
    return item(text('span', `${line.quantity} × ${line.name}`), text('span', money(line.quantity * line.price)), remove);
  }));
  if (lines.length === 0) {
    $('lines').replaceChildren(item(note('Pick products on the left.')));
  }
  buttons();
}

let typing = null;
$('find').oninput = (event) => {
  if (event.target.name === 'customer') {
    [lines, order, status] = [[], null, null];
    showLines();
  }
  clearTimeout(typing);
  typing = setTimeout(() => Promise.all([listProducts(), readAll()]), 200);
};
$('find').onsubmit = (event) => event.preventDefault();

// ---- Nodes

function text(tag, content) {
  const node = document.createElement(tag);
  node.textContent = content;
  return node;
}

function note(content) {
  const node = text('span', content);
  node.className = 'empty';
  return node;
}

function item(...nodes) {
  const node = document.createElement('li');
  node.append(...nodes);
  return node;
}

// Rows of cells; a heading that begins with # is of a column of numbers.
function table(headings, rows, isNew) {
  const node = document.createElement('table');
  const number = headings.map((heading) => heading.startsWith('#'));
  const cells = (tag, row) => {
    const line = document.createElement('tr');
    row.forEach((content, at) => {
      const cell = text(headings.length === 0 && at === 0 ? 'th' : tag, content);
      cell.className = number[at] ? 'number' : '';
      line.append(cell);
    });
    return line;
  };
  if (headings.length > 0) {
    node.append(cells('th', headings.map((heading) => heading.replace('#', ''))));
  }
  for (const row of rows) {
    const line = cells('td', row);
    line.className = isNew?.(row) ? 'new' : '';
    node.append(line);
  }
  return rows.length > 0 ? node : note('Nothing here.');
}

const money = (amount) => Number(amount).toFixed(2);
const when = (moment) => moment.slice(0, 16).replace('T', ' ');

showLines();
listProducts();
readAll();
