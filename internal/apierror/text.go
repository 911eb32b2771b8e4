package apierror

import (
	"fmt"
	"strings"

	"golang.org/x/text/language"
)

// The languages messages are in.
const (
	English = "en"
	Russian = "ru"
)

var matcher = language.NewMatcher([]language.Tag{language.English, language.Russian})

// Language chooses a language by the header Accept-Language; English is the default.
func Language(accept string) string {
	if len(accept) > 200 || accept == "" {
		return English
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return English
	}
	if _, i, confidence := matcher.Match(tags...); i == 1 && confidence >= language.High {
		return Russian
	}
	return English
}

// text is a message in English and in Russian.
type text struct{ en, ru string }

func (t text) in(lang string) string {
	if lang == Russian {
		return t.ru
	}
	return t.en
}

var texts = map[Code]text{
	Unauthorized:        {"Please sign in.", "Войдите в систему."},
	Suspended:           {"This account is suspended.", "Учётная запись заблокирована."},
	BadRequest:          {"The request is malformed.", "Запрос составлен неверно."},
	Validation:          {"Some values are not valid.", "Некоторые значения не подходят."},
	NotFound:            {"Not found.", "Не найдено."},
	Forbidden:           {"You may not do this.", "Это действие вам недоступно."},
	SlowMode:            {"Slow mode is on: wait before the next message.", "Включён медленный режим: подождите перед следующим сообщением."},
	CannotMessage:       {"This person cannot be written to.", "Этому человеку нельзя написать."},
	IdempotencyConflict: {"This request id was used for other content.", "Этот идентификатор запроса уже использован с другим содержимым."},
	TooLarge:            {"The request is too large.", "Слишком большой запрос."},
	UnsupportedMedia:    {"This type of content is not supported.", "Такой тип содержимого не поддерживается."},
	RateLimited:         {"Too many requests. Try again later.", "Слишком много запросов. Повторите позже."},
	Unavailable:         {"The service is busy. Try again.", "Сервис занят. Повторите попытку."},

	Internal:           {"Something went wrong on our side.", "Ошибка на стороне сервера."},
	MethodNotAllowed:   {"This method is not allowed here.", "Этот метод здесь не поддерживается."},
	InvalidCredentials: {"The login or the password is wrong.", "Неверный логин или пароль."},
	TokenReused:        {"The session was ended for safety. Please sign in again.", "Сеанс завершён из соображений безопасности. Войдите снова."},
	Unverified:         {"Please confirm your e-mail address first.", "Сначала подтвердите адрес электронной почты."},
	InvalidToken:       {"This link or code is not valid any more.", "Ссылка или код больше не действует."},
	RegistrationClosed: {"Registration is not open.", "Регистрация закрыта."},
	LoginTooOld:        {"Please sign in again to do this.", "Для этого войдите заново."},
	Disabled:           {"This is switched off on this server.", "На этом сервере это отключено."},
	Banned:             {"You are banned from this chat.", "Вы заблокированы в этом чате."},
	TooLate:            {"It is too late for this.", "Срок для этого действия истёк."},
	OwnerMustTransfer:  {"Hand the group over to another member first.", "Сначала передайте группу другому участнику."},
	VersionConflict:    {"The message has been changed meanwhile.", "Сообщение тем временем изменилось."},
	LegalHold:          {"This is under legal hold.", "На это наложен запрет удаления."},
	LastAdmin:          {"This is the last administrator.", "Это последний администратор."},
	AdminExists:        {"There is an administrator already.", "Администратор уже есть."},
	UploadIncomplete:   {"The upload is not complete.", "Файл загружен не полностью."},
	NotReady:           {"It is not ready yet.", "Ещё не готово."},
	UploadOffset:       {"The upload continues elsewhere.", "Загрузка продолжается с другого места."},
	MaintenanceState:   {"This maintenance has not begun, or has begun or ended already.", "Эти работы ещё не начались, уже начались или закончились."},
	RepliesBlocked:     {"Replies are blocked for a time.", "Ответы на время заблокированы."},
	Insufficient:       {"The balance is too low for this.", "На балансе недостаточно средств."},
	BalanceLimit:       {"The balance cannot be that high.", "Баланс не может быть таким большим."},
	AlreadyExists:      {"There is one already.", "Такой объект уже есть."},
	AlreadyDecided:     {"This is decided already.", "Решение уже принято."},
	NoMailer:           {"This server cannot send e-mail.", "Этот сервер не отправляет электронную почту."},
	EventsLost:         {"Events so old are not kept any more. Load the state anew.", "События такой давности уже не хранятся. Загрузите состояние заново."},
}

// reasons complete a sentence that begins with the name of the field.
var reasons = map[string]text{
	Required: {"is required", "— обязательное поле"},
	Invalid:  {"is not valid", "— недопустимое значение"},
	TooShort: {"is too short", "— слишком короткое значение"},
	TooLong:  {"is too long", "— слишком длинное значение"},
	TooMany:  {"has too many entries", "— слишком много элементов"},
	Common:   {"is too common", "— слишком простое значение"},
	Taken:    {"is taken", "— уже занято"},
	Type:     {"is of the wrong type", "— значение неверного типа"},
}

// rules say for a field and a reason what would have been right.
var rules = map[[2]string]text{
	{"username", Invalid}: {
		"must be 3 to 32 of a-z, 0-9, dot, hyphen and underscore, with a letter or digit at both ends, and not a number",
		"— от 3 до 32 знаков a-z, 0-9, точка, дефис и подчёркивание, с буквой или цифрой по краям, и не число",
	},
	{"password", TooShort}: {"is too short (at least 8 characters)", "— слишком короткое значение (не меньше 8 знаков)"},
}

// Message says what happened, in a language.
func (e *Error) Message(lang string) string {
	if len(e.Fields) > 0 {
		all := make([]string, len(e.Fields))
		for i, f := range e.Fields {
			all[i] = f.Message(lang)
		}
		return strings.Join(all, "; ")
	}
	return texts[e.Code].in(lang)
}

// Message says what is wrong with the field.
func (f *Field) Message(lang string) string {
	say, ok := rules[[2]string{f.Name, f.Reason}]
	if !ok {
		say = reasons[f.Reason]
	}
	why := say.in(lang)
	switch {
	case f.Text != "" && lang == English:
		why = f.Text
	case f.Limit != 0 && lang == Russian:
		why += fmt.Sprintf(" (не больше %d)", f.Limit)
	case f.Limit != 0:
		why += fmt.Sprintf(" (at most %d)", f.Limit)
	}
	return f.Name + " " + why
}
