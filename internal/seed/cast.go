package seed

// person is somebody of the story. Username and name are what others see.
type person struct{ username, name, about, lang, tz string }

// cast are the people, in the order in which they came. Two of them can log in: anna,
// who is administrator, and max.
var cast = []person{
	{"anna", "Анна Соколова", "Веду проект, отвечаю за сроки и хорошее настроение", "ru", "Europe/Moscow"},
	{"max", "Максим Орлов", "Пишу серверную часть, по выходным хожу в горы", "ru", "Europe/Moscow"},
	{"vera", "Вера Лебедева", "Тестирую всё, что шевелится", "ru", "Europe/Samara"},
	{"pavel", "Павел Громов", "Мобильные приложения", "ru", "Asia/Yekaterinburg"},
	{"katya", "Катя Морозова", "Рисую интерфейсы, пеку пироги", "ru", "Europe/Moscow"},
	{"igor", "Игорь Ветров", "Дежурю, чтобы вы спали спокойно", "ru", "Asia/Novosibirsk"},
	{"timur", "Тимур Ахметов", "Карты, палатки, газовые горелки", "ru", "Asia/Yekaterinburg"},
	{"lena", "Лена Зимина", "Фотограф", "ru", "Europe/Moscow"},
	{"oleg", "Олег Назаров", "Поддержка клиентов, с 9 до 18", "ru", "Europe/Moscow"},
	{"tamara", "Тамара Ивановна", "Мама Ани, бабушка Пети", "ru", "Europe/Moscow"},
	{"dasha", "Дарья Ким", "Учусь быть аналитиком", "ru", "Asia/Vladivostok"},
	{"roman", "Роман Белый", "Продажи. Перезвоню!", "ru", "Europe/Kaliningrad"},
	{"emma", "Emma Clarke", "Product designer. Typography and long walks", "en", "Europe/London"},
	{"liam", "Liam Murphy", "Backend at the Dublin office", "en", "Europe/Dublin"},
	{"olga", "Olga Petrova", "Переводчик · I make two languages meet", "en", "Europe/Berlin"},
	{"noah", "Noah Weber", "Data, maps, sourdough", "en", "Europe/Berlin"},
	{"grace", "Grace Okafor", "Reads faster than you type", "en", "Africa/Lagos"},
	{"sofia", "Sofia Rossi", "Illustrator", "en", "Europe/Rome"},
	{"hana", "Hana Sato", "Customer success, Tokyo", "en", "Asia/Tokyo"},
	{"bell", "Звонарь", "Бот: рассказываю о сборках", "ru", "UTC"},
}

// bots are those of the cast who are programs.
var bots = map[string]bool{"bell": true}

// administrator and guest are who can log in.
const (
	administrator = "anna"
	guest         = "max"
)
