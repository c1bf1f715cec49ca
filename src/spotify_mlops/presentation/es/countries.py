"""The countries of ISO 3166-1, and Kosovo: names, and the time that most of their people have.

Names as Unicode CLDR has them in Spanish, some shorter; zones of the IANA time zone database.
"""

from __future__ import annotations

_TABLE = """\
AD Europe/Andorra Andorra
AE Asia/Dubai Emiratos Árabes Unidos
AF Asia/Kabul Afganistán
AG America/Antigua Antigua y Barbuda
AI America/Anguilla Anguila
AL Europe/Tirane Albania
AM Asia/Yerevan Armenia
AO Africa/Luanda Angola
AQ Antarctica/McMurdo Antártida
AR America/Argentina/Buenos_Aires Argentina
AS Pacific/Pago_Pago Samoa Americana
AT Europe/Vienna Austria
AU Australia/Sydney Australia
AW America/Aruba Aruba
AX Europe/Mariehamn Islas Aland
AZ Asia/Baku Azerbaiyán
BA Europe/Sarajevo Bosnia y Herzegovina
BB America/Barbados Barbados
BD Asia/Dhaka Bangladés
BE Europe/Brussels Bélgica
BF Africa/Ouagadougou Burkina Faso
BG Europe/Sofia Bulgaria
BH Asia/Bahrain Baréin
BI Africa/Bujumbura Burundi
BJ Africa/Porto-Novo Benín
BL America/St_Barthelemy San Bartolomé
BM Atlantic/Bermuda Bermudas
BN Asia/Brunei Brunéi
BO America/La_Paz Bolivia
BQ America/Kralendijk Caribe neerlandés
BR America/Sao_Paulo Brasil
BS America/Nassau Bahamas
BT Asia/Thimphu Bután
BV UTC Isla Bouvet
BW Africa/Gaborone Botsuana
BY Europe/Minsk Bielorrusia
BZ America/Belize Belice
CA America/Toronto Canadá
CC Indian/Cocos Islas Cocos
CD Africa/Kinshasa República Democrática del Congo
CF Africa/Bangui República Centroafricana
CG Africa/Brazzaville Congo
CH Europe/Zurich Suiza
CI Africa/Abidjan Côte d’Ivoire
CK Pacific/Rarotonga Islas Cook
CL America/Santiago Chile
CM Africa/Douala Camerún
CN Asia/Shanghai China
CO America/Bogota Colombia
CR America/Costa_Rica Costa Rica
CU America/Havana Cuba
CV Atlantic/Cape_Verde Cabo Verde
CW America/Curacao Curazao
CX Indian/Christmas Isla de Navidad
CY Asia/Nicosia Chipre
CZ Europe/Prague Chequia
DE Europe/Berlin Alemania
DJ Africa/Djibouti Yibuti
DK Europe/Copenhagen Dinamarca
DM America/Dominica Dominica
DO America/Santo_Domingo República Dominicana
DZ Africa/Algiers Argelia
EC America/Guayaquil Ecuador
EE Europe/Tallinn Estonia
EG Africa/Cairo Egipto
EH Africa/El_Aaiun Sáhara Occidental
ER Africa/Asmara Eritrea
ES Europe/Madrid España
ET Africa/Addis_Ababa Etiopía
FI Europe/Helsinki Finlandia
FJ Pacific/Fiji Fiyi
FK Atlantic/Stanley Islas Malvinas
FM Pacific/Pohnpei Micronesia
FO Atlantic/Faroe Islas Feroe
FR Europe/Paris Francia
GA Africa/Libreville Gabón
GB Europe/London Reino Unido
GD America/Grenada Granada
GE Asia/Tbilisi Georgia
GF America/Cayenne Guayana Francesa
GG Europe/Guernsey Guernesey
GH Africa/Accra Ghana
GI Europe/Gibraltar Gibraltar
GL America/Nuuk Groenlandia
GM Africa/Banjul Gambia
GN Africa/Conakry Guinea
GP America/Guadeloupe Guadalupe
GQ Africa/Malabo Guinea Ecuatorial
GR Europe/Athens Grecia
GS Atlantic/South_Georgia Islas Georgia del Sur y Sandwich del Sur
GT America/Guatemala Guatemala
GU Pacific/Guam Guam
GW Africa/Bissau Guinea-Bisáu
GY America/Guyana Guyana
HK Asia/Hong_Kong Hong Kong
HM UTC Islas Heard y McDonald
HN America/Tegucigalpa Honduras
HR Europe/Zagreb Croacia
HT America/Port-au-Prince Haití
HU Europe/Budapest Hungría
ID Asia/Jakarta Indonesia
IE Europe/Dublin Irlanda
IL Asia/Jerusalem Israel
IM Europe/Isle_of_Man Isla de Man
IN Asia/Kolkata India
IO Indian/Chagos Territorio Británico del Océano Índico
IQ Asia/Baghdad Irak
IR Asia/Tehran Irán
IS Atlantic/Reykjavik Islandia
IT Europe/Rome Italia
JE Europe/Jersey Jersey
JM America/Jamaica Jamaica
JO Asia/Amman Jordania
JP Asia/Tokyo Japón
KE Africa/Nairobi Kenia
KG Asia/Bishkek Kirguistán
KH Asia/Phnom_Penh Camboya
KI Pacific/Tarawa Kiribati
KM Indian/Comoro Comoras
KN America/St_Kitts San Cristóbal y Nieves
KP Asia/Pyongyang Corea del Norte
KR Asia/Seoul Corea del Sur
KW Asia/Kuwait Kuwait
KY America/Cayman Islas Caimán
KZ Asia/Almaty Kazajistán
LA Asia/Vientiane Laos
LB Asia/Beirut Líbano
LC America/St_Lucia Santa Lucía
LI Europe/Vaduz Liechtenstein
LK Asia/Colombo Sri Lanka
LR Africa/Monrovia Liberia
LS Africa/Maseru Lesoto
LT Europe/Vilnius Lituania
LU Europe/Luxembourg Luxemburgo
LV Europe/Riga Letonia
LY Africa/Tripoli Libia
MA Africa/Casablanca Marruecos
MC Europe/Monaco Mónaco
MD Europe/Chisinau Moldavia
ME Europe/Podgorica Montenegro
MF America/Marigot San Martín
MG Indian/Antananarivo Madagascar
MH Pacific/Majuro Islas Marshall
MK Europe/Skopje Macedonia del Norte
ML Africa/Bamako Mali
MM Asia/Yangon Birmania
MN Asia/Ulaanbaatar Mongolia
MO Asia/Macau Macao
MP Pacific/Saipan Islas Marianas del Norte
MQ America/Martinique Martinica
MR Africa/Nouakchott Mauritania
MS America/Montserrat Montserrat
MT Europe/Malta Malta
MU Indian/Mauritius Mauricio
MV Indian/Maldives Maldivas
MW Africa/Blantyre Malaui
MX America/Mexico_City México
MY Asia/Kuala_Lumpur Malasia
MZ Africa/Maputo Mozambique
NA Africa/Windhoek Namibia
NC Pacific/Noumea Nueva Caledonia
NE Africa/Niamey Níger
NF Pacific/Norfolk Isla Norfolk
NG Africa/Lagos Nigeria
NI America/Managua Nicaragua
NL Europe/Amsterdam Países Bajos
NO Europe/Oslo Noruega
NP Asia/Kathmandu Nepal
NR Pacific/Nauru Nauru
NU Pacific/Niue Niue
NZ Pacific/Auckland Nueva Zelanda
OM Asia/Muscat Omán
PA America/Panama Panamá
PE America/Lima Perú
PF Pacific/Tahiti Polinesia Francesa
PG Pacific/Port_Moresby Papúa Nueva Guinea
PH Asia/Manila Filipinas
PK Asia/Karachi Pakistán
PL Europe/Warsaw Polonia
PM America/Miquelon San Pedro y Miquelón
PN Pacific/Pitcairn Islas Pitcairn
PR America/Puerto_Rico Puerto Rico
PS Asia/Hebron Territorios Palestinos
PT Europe/Lisbon Portugal
PW Pacific/Palau Palaos
PY America/Asuncion Paraguay
QA Asia/Qatar Catar
RE Indian/Reunion Reunión
RO Europe/Bucharest Rumanía
RS Europe/Belgrade Serbia
RU Europe/Moscow Rusia
RW Africa/Kigali Ruanda
SA Asia/Riyadh Arabia Saudí
SB Pacific/Guadalcanal Islas Salomón
SC Indian/Mahe Seychelles
SD Africa/Khartoum Sudán
SE Europe/Stockholm Suecia
SG Asia/Singapore Singapur
SH Atlantic/St_Helena Santa Elena
SI Europe/Ljubljana Eslovenia
SJ Arctic/Longyearbyen Svalbard y Jan Mayen
SK Europe/Bratislava Eslovaquia
SL Africa/Freetown Sierra Leona
SM Europe/San_Marino San Marino
SN Africa/Dakar Senegal
SO Africa/Mogadishu Somalia
SR America/Paramaribo Surinam
SS Africa/Juba Sudán del Sur
ST Africa/Sao_Tome Santo Tomé y Príncipe
SV America/El_Salvador El Salvador
SX America/Lower_Princes Sint Maarten
SY Asia/Damascus Siria
SZ Africa/Mbabane Esuatini
TC America/Grand_Turk Islas Turcas y Caicos
TD Africa/Ndjamena Chad
TF Indian/Kerguelen Territorios Australes Franceses
TG Africa/Lome Togo
TH Asia/Bangkok Tailandia
TJ Asia/Dushanbe Tayikistán
TK Pacific/Fakaofo Tokelau
TL Asia/Dili Timor-Leste
TM Asia/Ashgabat Turkmenistán
TN Africa/Tunis Túnez
TO Pacific/Tongatapu Tonga
TR Europe/Istanbul Turquía
TT America/Port_of_Spain Trinidad y Tobago
TV Pacific/Funafuti Tuvalu
TW Asia/Taipei Taiwán
TZ Africa/Dar_es_Salaam Tanzania
UA Europe/Kyiv Ucrania
UG Africa/Kampala Uganda
UM Pacific/Wake Islas menores alejadas de EE. UU.
US America/New_York Estados Unidos
UY America/Montevideo Uruguay
UZ Asia/Tashkent Uzbekistán
VA Europe/Vatican Ciudad del Vaticano
VC America/St_Vincent San Vicente y las Granadinas
VE America/Caracas Venezuela
VG America/Tortola Islas Vírgenes Británicas
VI America/St_Thomas Islas Vírgenes de EE. UU.
VN Asia/Ho_Chi_Minh Vietnam
VU Pacific/Efate Vanuatu
WF Pacific/Wallis Wallis y Futuna
WS Pacific/Apia Samoa
XK Europe/Belgrade Kosovo
YE Asia/Aden Yemen
YT Indian/Mayotte Mayotte
ZA Africa/Johannesburg Sudáfrica
ZM Africa/Lusaka Zambia
ZW Africa/Harare Zimbabue
"""
_ROWS = [line.split(maxsplit=2) for line in _TABLE.splitlines()]

COUNTRY_NAMES = {code: name for code, _, name in _ROWS}
ZONES = {code: zone for code, zone, _ in _ROWS}
"""IANA names."""
