// The page's texts in its two languages.

export interface Words {
  title: string;
  connecting: string;
  online: string;
  offline: string;
  goOffline: string;
  goOnline: string;
  another: string;
  talk: (channel: string) => string;
  text: string;
  send: string;
  name: string;
  channel: string;
  apply: string;
  people: (n: number) => string;
  you: string;
  windows: (n: number) => string;
  guest: string;
  service: string;
  emptyLead: string;
  emptyHint: string;
  outside: string;
  outsideText: string;
  joined: (name: string) => string;
  left: (name: string) => string;
  recovered: (n: number) => string;
  nothingMissed: string;
  notRecovered: string;
  closed: (code: number, reason: string) => string;
  refused: (code: number, reason: string) => string;
  notSent: (reason: string) => string;
  names: string[];
}

const english: Words = {
  title: "Kuranty demo",
  connecting: "connecting…",
  online: "online",
  offline: "offline",
  goOffline: "Go offline",
  goOnline: "Go online",
  another: "Open a second window",
  talk: (channel) => `Messages of channel ${channel}`,
  text: "Message",
  send: "Send",
  name: "Your name",
  channel: "Channel",
  apply: "Change",
  people: (n) => `Here now: ${n}`,
  you: "you",
  windows: (n) => (n === 1 ? "" : `${n} windows`),
  guest: "guest",
  service: "server",
  emptyLead: "No messages in this channel yet",
  emptyHint: "Write one, or open a second window and watch it arrive there.",
  outside: "Publish from outside",
  outsideText: "kuranty api-key prints the key: http_api.key of the configuration, or of secrets.json in the data folder.",
  joined: (name) => `${name} is here`,
  left: (name) => `${name} has left`,
  recovered: (n) => `Connection restored. Messages missed meanwhile: ${n}, all recovered.`,
  nothingMissed: "Connection restored. Nothing was missed.",
  notRecovered: "Connection restored, but the channel's past is not complete; what it still has was loaded again.",
  closed: (code, reason) => `The server closed the connection: ${reason} (${code}).`,
  refused: (code, reason) => `The server refused the channel: ${reason} (${code}).`,
  notSent: (reason) => `Not sent: ${reason}. The text is back in the field.`,
  names: ["Wagtail", "Magpie", "Heron", "Robin", "Sparrow", "Lapwing", "Swift", "Oriole", "Jay", "Finch"],
};

const russian: Words = {
  title: "Kuranty: демо",
  connecting: "соединение…",
  online: "на связи",
  offline: "не на связи",
  goOffline: "Отключиться",
  goOnline: "Подключиться",
  another: "Открыть второе окно",
  talk: (channel) => `Сообщения канала ${channel}`,
  text: "Сообщение",
  send: "Отправить",
  name: "Ваше имя",
  channel: "Канал",
  apply: "Изменить",
  people: (n) => `Сейчас здесь: ${n}`,
  you: "вы",
  windows: (n) => (n === 1 ? "" : `окон: ${n}`),
  guest: "гость",
  service: "сервер",
  emptyLead: "В этом канале ещё нет сообщений",
  emptyHint: "Напишите первое или откройте второе окно и посмотрите, как оно там появится.",
  outside: "Опубликовать снаружи",
  outsideText: "kuranty api-key печатает ключ: http_api.key из настроек или из secrets.json папки данных.",
  joined: (name) => `${name} здесь`,
  left: (name) => `${name}: больше не здесь`,
  recovered: (n) => `Связь восстановлена. Пропущено сообщений: ${n}, все получены.`,
  nothingMissed: "Связь восстановлена. Ничего не пропущено.",
  notRecovered: "Связь восстановлена, но прошлое канала неполно; загружено то, что сохранилось.",
  closed: (code, reason) => `Сервер закрыл соединение: ${reason} (${code}).`,
  refused: (code, reason) => `Сервер не пустил в канал: ${reason} (${code}).`,
  notSent: (reason) => `Не отправлено: ${reason}. Текст снова в поле.`,
  names: ["Зарянка", "Сорока", "Цапля", "Синица", "Воробей", "Чибис", "Стриж", "Иволга", "Сойка", "Зяблик"],
};

/** words returns the texts for the first language of the browser that we speak. */
export function words(languages: readonly string[]): { lang: string; words: Words } {
  for (const language of languages) {
    if (language.startsWith("ru")) return { lang: "ru", words: russian };
    if (language.startsWith("en")) return { lang: "en", words: english };
  }
  return { lang: "en", words: english };
}
